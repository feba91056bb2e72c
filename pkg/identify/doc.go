// Package identify runs the decisions of package failover for one tag: it holds
// identify's lease, reads everything Redis knows in one step, decides, and
// carries out the one change decided by a compare-and-set that checks lease
// token, epoch and version.
//
// Any number of identify processes may serve a tag; one leads, the others watch
// and remember. A change whose answer was lost is neither believed nor repeated:
// the record is read again and decided anew, until it stands or is out-dated.
//
// The loop runs on package sched alone and holds no lock across a call.
package identify
