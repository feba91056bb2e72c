// Package gtid gives meaning to the positions that servers print: the GTID sets
// of MySQL and the GTID lists of MariaDB. It parses, prints, compares, joins and
// subtracts them.
//
// It never talks to a server. A Set is a value that no function changes, and
// equal sets print equally, whatever the text they were read from looked like.
//
// The two flavours say different things. A MySQL set names each transaction. A
// MariaDB list names, for a replication domain and the server that first
// committed there, the highest sequence number; everything of that server below
// it counts as included. Hence a MariaDB position must be taken together with
// the binary log state, which has an entry for each server: a comparison by
// domain alone would call a server complete that has a stranger's transaction
// in the place of a missing one.
package gtid
