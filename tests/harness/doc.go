// Package harness builds a laboratory of real servers on the loopback
// interface: pairs of MariaDB or MySQL, as MMM_DB says, in circular GTID
// replication, redis-server, the daemons of mmm-manager with files in the predecessor's form, and the clients
// of an application that fails over by itself.
//
// End-to-end tests, the demo and the benchmark share it, so it reports errors
// and never fails a test by itself. Nothing in it waits a fixed time: it polls
// a condition until a deadline.
//
// Whatever a Lab starts, it ends: each child dies with the process that started
// it even when that is killed, Close ends the rest by the process ids that the
// Lab knows, and the working folder is removed.
package harness
