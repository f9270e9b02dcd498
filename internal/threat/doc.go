// Package threat holds the nouns that several rooms must agree on: their identities, their states and the
// transitions between them. It is the bottom of the house: it imports the standard library and uuid, reads no clock,
// draws no randomness and touches no network, so that workflows may use all of it.
package threat
