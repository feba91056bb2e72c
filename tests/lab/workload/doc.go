// Package workload is the application that a laboratory runs against a pair: ordinary
// users who behave as failover clients do. They try the servers in order, stay with the
// one that works, change when they are refused or lose their connection, and never
// repeat a statement whose outcome they do not know. Beside them run clients that
// know one server alone and wait for long, and a prober on the host of each server,
// who asks that one whatever happens.
//
// What they saw is a history of each round. It claims no more than is certain: an
// operation is refused only where the error says that nothing was done, or nothing
// was sent; everything else that went wrong is unknown.
//
// Rows carry the epoch and the server in which they were written, read in the statement
// that writes them. Reads of registers and sums commit a write of their own, since
// who was the active and does not know better yet may show what is old without any
// fault.
package workload
