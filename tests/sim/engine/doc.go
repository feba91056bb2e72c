// Package engine runs simulated programs in a time of its own.
//
// Everything that happens is an event at an instant; the events of one instant
// happen in the order in which they were made. A Process is a program: its
// coroutines run one at a time, on sched.Runtime, and park in each call that
// waits. All chance is drawn from one seed, so the seed alone decides a world:
// the same seed and the same code give the same events.
//
// Hosts, links and streams are in the same package since the death of a process
// and the freezing of its host are facts of the network as well.
//
// Code of a process, which is its coroutines and what Post and After run for it,
// never runs once the process is dead and waits while it is stopped. Everything
// else runs in the engine itself and must not wait.
package engine
