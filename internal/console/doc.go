// Package console is what people see in a browser: pages rendered on the server, one handler file a page, that work
// without JavaScript. A small script listens to the server's events and fetches anew what a page marks as live.
//
// It decides nothing: every verdict, acknowledgement and release goes through the door, every page asks access first, and
// what an attacker may have named is shown inert. It reaches the rest of the house through the interfaces in Deps only.
package console
