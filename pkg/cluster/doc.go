// Package cluster is the vocabulary of mmm-manager: what a pair of servers is,
// what a monitor saw of them, what identify decided about them and what an
// agent did to them.
//
// It holds values only. It never talks to a server or to Redis, reads no clock
// and starts nothing, so that every package may import it and the deciding
// packages stay pure.
//
// Positions in GTID space travel as text in these types; package gtid gives
// them meaning.
package cluster
