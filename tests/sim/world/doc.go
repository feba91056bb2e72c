// Package world is one pair with all its daemons in a simulated world: hosts, a
// network, two servers that replicate from each other, a Redis, and the
// product's own monitors, identifies and agents, beside clients that write and an
// operator.
//
// Draw makes a schedule of a seed, Run carries it out: what is in the schedule
// goes wrong until its time is over, then everything heals, and the world runs on
// until the pair is well again. Then the next round of faults begins in the same
// world, if there is one: with daemons and servers that have a past, and the active
// where the round before has left it. After the last one some worlds run on until the pair
// keeps again what it promises for acknowledged writes. The Judge is told of everything
// that changes and says whether a promise was broken. The same schedule gives the same events.
//
// A fault is a kind with what it happens to; it begins at a time, or some
// microseconds after the record has come to a phase. What is drawn is the swarm: a
// few kinds in each schedule, and other ones in the next.
//
// What is real: the loops and decisions of pkg/identify, pkg/agent and
// pkg/monitor with all below them. What is a model: Redis, the servers, the
// network, the disks and the clocks. Not drawn: agents without
// leases beside two Redis masters for long, see forkRedis; a KILL that does not end a session; the
// predecessor's daemons.
package world
