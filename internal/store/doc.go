// Package store is where Firebreak's truth lies: the journal, claims and effects, the outbox, and what is read from them,
// on SQLite or PostgreSQL behind one SQL text. It knows no workflow, no policy and no vendor.
//
// Every change runs in Store.write, which takes the locks of the organisations that it touches (their journal heads, in
// sorted order) and appends to the journal in the same transaction. Nothing that waits for a network, a person or policy
// may run inside it.
package store
