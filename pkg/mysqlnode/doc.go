// Package mysqlnode is one MySQL or MariaDB server as the programs use it: it
// holds every SQL text and every difference between the flavours (dialect.go),
// samples a server, closes and opens it for writes, drains it, has its commits
// wait for a replica, locks accounts, takes named locks, keeps the row that
// remembers the epoch and checks the prerequisites.
//
// A Conn is exactly one TCP session. It is never dialled again: when it is
// gone every later call fails, and whoever holds it may conclude that nothing
// it sends can reach the server any more. Broken reports the end of the session
// as the kernel sees it, also while nobody uses the session. After a context
// has ended during a call the session is unusable and must be closed.
//
// Four things stay true: an order that was given up is not left behind on the
// server, unless it was queued on purpose (QueueReadOnly); an order that opens
// anything, or lets commits go, is void after its time on the server's own clock; changing accounts
// leaves no trace in the binary log, and neither sql_log_bin nor super_read_only
// switched off; and no error or finding carries a password.
//
// The package decides nothing. It never retries, re-routes or kills on its own,
// except for its own session after an order was given up. Which accounts are
// locked, and whose lock is whose, is its callers' knowledge.
package mysqlnode
