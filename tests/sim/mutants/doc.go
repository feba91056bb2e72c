// Command mutants shows that the simulator finds what it is there to find. It
// builds the product anew for each safeguard of pkg/safeguard, with that one left
// out, and runs schedules until a promise is broken. A mutant that survives tells of
// a fault that the world does not make, of a promise that the judge does not hold
// anybody to, or of a safeguard that another one stands behind.
//
// A violation counts only when the build with every safeguard keeps that schedule.
// Schedules are those of the seeds from 1 on; what chance makes too seldom has a
// schedule of its own in testdata, of which each seed makes a variant.
package main
