// Package deptest holds the house's walls: which room may import what, with a reason each, and what pure rooms must not do.
// It reads the source and builds nothing. A new import needs a line in rooms.go, whose reason somebody has to believe.
package deptest
