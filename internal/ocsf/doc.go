// Package ocsf reads and writes OCSF 1.8 events in types of our own: Detection Findings (class 2004) in, and the same out
// for findings of products that speak another format. It is pure: no clock, no network, no store.
//
// Source: the OCSF schema, version 1.8.0 (https://schema.ocsf.io/1.8.0). The tables of this package are compared with the
// compiled schema by its tests.
package ocsf
