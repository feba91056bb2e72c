// Package standin holds stand-in servers: thousands of them in one process, each on an
// address of its own, that speak as much of the protocol of MySQL 8.4 as the programs use. They have a state
// that obeys (read_only, GTIDs, a replication channel to the other server of the pair, the
// epoch row) and no data. They are for measuring many pairs; what a server really does is
// shown by real ones, with which contract_test.go compares the answers.
package standin
