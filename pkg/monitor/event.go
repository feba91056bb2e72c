package monitor

import (
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Op is one question asked on a connection.
type Op int

// The questions.
const (
	OpNone    Op = iota
	OpPing       // a cheap round trip
	OpSample     // the full sample
	OpChannel    // the light sample: replication only
)

// String names the question.
func (o Op) String() string {
	return [...]string{"nothing", "ping", "sample", "light sample"}[o]
}

// Link numbers one connection of a watch from the attempt to make it; 0 is none.
type Link uint64

// Event is something that happened to a server's connections.
type Event interface{ event() }

// The events.
type (
	// Tick says only that time has passed.
	Tick struct{}
	// Connected says that the attempt Link ended with an open connection.
	Connected struct{ Link Link }
	// ConnectFailed says that the attempt Link ended without one.
	ConnectFailed struct {
		Link  Link
		Cause cluster.Cause
		Text  string
	}
	// Ponged is the Answered of OpPing, which brings nothing and comes most often.
	Ponged struct{ Link Link }
	// Answered brings the answer to Op: Server for OpSample, Channel for OpChannel.
	Answered struct {
		Link    Link
		Op      Op
		Server  cluster.Server
		Channel cluster.Channel
	}
	// Failed says that Op ended without an answer, or with an error reply; Denied
	// when that says that our account lacks a privilege.
	Failed struct {
		Link   Link
		Op     Op
		Cause  cluster.Cause
		Text   string
		Denied bool
	}
	// Ended says that the connection Link ended while open.
	Ended struct{ Link Link }
	// OtherMember says whether the other member of the pair is in trouble.
	OtherMember struct{ Unwell bool }
)

func (Tick) event()          {}
func (Connected) event()     {}
func (ConnectFailed) event() {}
func (Ponged) event()        {}
func (Answered) event()      {}
func (Failed) event()        {}
func (Ended) event()         {}
func (OtherMember) event()   {}

// Action is something to be done for a watch. None of them waits for another.
type Action interface{ action() }

// The actions.
type (
	// Dial begins the connection attempt Link.
	Dial struct{ Link Link }
	// Ask asks Op on Link.
	Ask struct {
		Link Link
		Op   Op
	}
	// Drop closes Link, or gives its attempt up. Nothing of it is heard any more.
	Drop struct{ Link Link }
	// Publish gives a record to the readers, in place of one that still waits.
	Publish struct {
		Observation cluster.Observation
		// Legacy is the predecessor's check without LastCheck; nil when it is not to be written.
		Legacy *cluster.LegacyCheck
		TTL    time.Duration
		// Wake: readers are to look now, not at their next turn.
		Wake bool
	}
	// Tell lets the other member's watch know whether this server is in trouble.
	Tell struct{ Unwell bool }
	// Say is a line for the log.
	Say struct {
		Warn bool
		Text string
		Hint string
		Err  string
	}
)

func (Dial) action()    {}
func (Ask) action()     {}
func (Drop) action()    {}
func (Publish) action() {}
func (Tell) action()    {}
func (Say) action()     {}
