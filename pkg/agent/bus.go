package agent

import (
	"context"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Bus is what the agent needs of Redis. Every call is bounded by itself and
// safe from several goroutines.
type Bus interface {
	// Pairs lists the pairs that the bus knows.
	Pairs(ctx context.Context) ([]cluster.UniqSign, error)
	// Snapshot reads everything about one pair in one step.
	Snapshot(ctx context.Context, u cluster.UniqSign) (cluster.Snapshot, error)
	// Assignment reads the record only; a zero record when there is none.
	Assignment(ctx context.Context, u cluster.UniqSign) (cluster.Assignment, error)
	// Held sees that a majority of all Redis has the record of this order, where there are several:
	// another master that is chosen then knows it. It reports false when another order is in force; an error
	// says that a majority may not have it.
	Held(ctx context.Context, u cluster.UniqSign, order cluster.Order) (inForce bool, err error)
	// SaveReport replaces this agent's report of one node; wake tells the others.
	SaveReport(ctx context.Context, u cluster.UniqSign, r cluster.Report, wake bool) error
	// DropReport removes a report.
	DropReport(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, agent string) error
	// Locked are the accounts of a node that agents have locked and not yet
	// released; NoteLocked adds some, DropLocked takes some out if the record is
	// still that of under, or under is none.
	Locked(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint) ([]cluster.Account, error)
	NoteLocked(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, all []cluster.Account) error
	DropLocked(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, under cluster.Order, all []cluster.Account) error
	// Renew takes or lengthens the grant by which this agent keeps node open: held
	// for ttl, counted from before the call, when epoch is in force and node is its
	// active; else refused, and inForce is the order found. After an error it is
	// unknown whether the grant was lengthened.
	Renew(ctx context.Context, u cluster.UniqSign, node cluster.Endpoint, agent string, epoch cluster.Epoch, ttl time.Duration) (held bool, inForce cluster.Order, err error)
	// Listen calls hear for each wake-up, one after the other, until ctx ends.
	// It reconnects for ever.
	Listen(ctx context.Context, hear func(Wake))
}

// The kinds of wake-ups that the agent acts on; others are passed over.
const (
	WakeAssignment   = "assignment"
	WakeReport       = "report"
	WakeView         = "view"         // a monitor has trouble, or its trouble has ended
	WakePause        = "pause"        // begun or ended
	WakeMessage      = "message"      // on the predecessor's topic
	WakeResubscribed = "resubscribed" // anything may have been missed
)

// Wake says that something changed on the bus.
type Wake struct {
	UniqSign cluster.UniqSign // empty when it concerns all
	Kind     string
	Message  string // the text of a message, for the log
	// Named are the servers that a message names. They are never connected to
	// on the word of a message.
	Named []cluster.Endpoint
}
