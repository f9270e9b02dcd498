// Package adaptertest is the conformance suite of adapters that can contain. An adapter's test hands in a Harness and runs
// the whole of it in a few lines. The suite judges by what the device shows, never by what the adapter answers: a harness
// therefore gives a way to look at its counterpart beside the adapter. It is imported by tests only.
package adaptertest
