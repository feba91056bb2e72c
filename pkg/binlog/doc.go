// Package binlog reads transactions with their row images from the binary log of a
// server, as a replica would. It is asked for what a server in quarantine holds.
//
// It writes nothing on the server and registers as a replica with a number of its own
// for as long as it reads. It compares no positions: which transactions matter is its
// caller's question. What it keeps in memory is bounded.
package binlog
