package reconcile

import (
	"fmt"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// CodeUnreachable is the code of the reason that the server does not answer.
const CodeUnreachable = "unreachable"

// Reasons without a name in them.
var (
	ReasonBusAway = cluster.Reason{Code: "bus-away",
		Text: "Redis does not answer: every server stays as it is"}
	ReasonAlone = cluster.Reason{Code: "alone",
		Text: "closed without a lease: neither Redis nor the other server was reached in time; it is opened again when Redis answers"}
	ReasonNoGrant = cluster.Reason{Code: "no-grant",
		Text: "the lease from Redis is not held in this epoch yet: the server is not opened"}
	ReasonNoLock = cluster.Reason{Code: "no-lock",
		Text: "the lock on this server, which proves the old active closed, is not held any more: the server is not opened"}
	ReasonNoRecord = cluster.Reason{Code: "no-record",
		Text: "nobody has decided who is active: every server stays as it is"}
	ReasonRecordGone = cluster.Reason{Code: "record-gone",
		Text: "frozen: the record is gone from Redis; waiting for a newer epoch"}
	ReasonConnecting = cluster.Reason{Code: "connecting",
		Text: "connecting to the server"}
	ReasonReading = cluster.Reason{Code: "reading",
		Text: "reading the state of the server"}
	ReasonPeerUnseen = cluster.Reason{Code: "peer-unseen",
		Text: "the other server is not seen: replication between the two is left alone"}
	ReasonPeerOpen = cluster.Reason{Code: "peer-open",
		Text: "the other server is open and is closed first"}
	ReasonPeerTrying = cluster.Reason{Code: "peer-trying",
		Text: "the other server is still being tried"}
	ReasonPeerNotClosed = cluster.Reason{Code: "peer-not-closed",
		Text: "the other server is not closed: nothing is replicated from it"}
	ReasonComparing = cluster.Reason{Code: "comparing",
		Text: "comparing the transactions of the two servers"}
	ReasonNoChannel = cluster.Reason{Code: "no-channel",
		Text: "no replication channel is configured"}
	ReasonNoGTID = cluster.Reason{Code: "no-gtid",
		Text: "the server does not number its transactions (GTID): nothing can be compared"}
	ReasonWaitClose = cluster.Reason{Code: "wait-close",
		Text: "waiting for the old active to be closed"}
	ReasonRefused = cluster.Reason{Code: "refused",
		Text: "closing for the switchover was refused"}
	ReasonStartLater = cluster.Reason{Code: "start-later",
		Text: "replication did not keep running after the last start; it is tried again later"}
	ReasonPaused = cluster.Reason{Code: "paused",
		Text: "paused: replication is left alone (mmmctl resume)"}
	ReasonSourceConnecting = cluster.Reason{Code: "source-connecting",
		Text: "the receiving thread is connecting to its source"}
	ReasonNotAppliedYet = cluster.Reason{Code: "not-applied",
		Text: "not everything that the record demands is applied here: the server is not opened"}
	ReasonMalformed = cluster.Reason{Code: "malformed",
		Text: "the record names no active server where its phase needs one: it is not obeyed"}

	whyWaits = cluster.Reason{Code: "acks",
		Text: "the record has the active's commits wait for the passive's acknowledgement"}
	whyWaitsNot = cluster.Reason{Code: "no-acks",
		Text: "the record has no commit wait for an acknowledgement"}
	whyAlone = cluster.Reason{Code: "lease-over",
		Text: "no lease keeps the server open any more"}
	whyPassive = cluster.Reason{Code: "passive-open",
		Text: "the server is open and is not the active"}
	whyRevoked = cluster.Reason{Code: "revoked",
		Text: "the role was revoked"}
	whyUnproven = cluster.Reason{Code: "unproven",
		Text: "the role was taken from it without a proof that it was closed"}
	whySwitching = cluster.Reason{Code: "switching",
		Text: "a switchover is under way"}
	whyHung = cluster.Reason{Code: "hung",
		Text: "the server does not answer: the closing order waits on an open connection"}
	whyActive = cluster.Reason{Code: "active-closed",
		Text: "the server is the active and is closed"}
	whyDrain = cluster.Reason{Code: "drain",
		Text: "everything received is applied before the server may be opened"}
	whyQuarantine = cluster.Reason{Code: "quarantine",
		Text: "the server has transactions that the active lacks"}
	whyUnverified = cluster.Reason{Code: "unverified",
		Text: "the passive is not verified: the active receives nothing from it"}
	whyUnsealed = cluster.Reason{Code: "unsealed",
		Text: "the passive is closed without super_read_only"}
	whyAccounts = cluster.Reason{Code: "accounts",
		Text: "the accounts are looked at"}
	whyRelease = cluster.Reason{Code: "active-locked",
		Text: "the server is the active, and accounts of it are locked by agents"}
	whyUnmatched = cluster.Reason{Code: "unmatched",
		Text: "the accounts are not to be blocked any more"}
	whyLock = cluster.Reason{Code: "passive-unlocked",
		Text: "the server is not the active, and accounts that are to be blocked can log in"}
	whyForget = cluster.Reason{Code: "not-ours",
		Text: "the accounts are no longer locked by agents"}
	whyMark = cluster.Reason{Code: "epoch-row-old",
		Text: "the epoch row of the active is older than the record"}
	whyReposition = cluster.Reason{Code: "reposition",
		Text: "the position of the active is behind what it wrote itself, and it has everything that the passive has"}
	whyVerified = cluster.Reason{Code: "verified",
		Text: "the passive has nothing that the active lacks"}
)

func reasonShut(left time.Duration) cluster.Reason {
	return cluster.Reason{Code: "shut",
		Text: fmt.Sprintf("was closed by somebody else: opened again in %d s unless the record changes", (left+time.Second-1)/time.Second)}
}

func reasonOlder(have, remembered cluster.Order) cluster.Reason {
	return cluster.Reason{Code: "record-older",
		Text: fmt.Sprintf("frozen: the record %s is older than the remembered %s; waiting for a newer epoch", have, remembered)}
}

func reasonConflict(o cluster.Order) cluster.Reason {
	return cluster.Reason{Code: "record-conflict",
		Text: fmt.Sprintf("frozen: the record %s says something else than the remembered one of the same number; waiting for a newer epoch", o)}
}

func reasonStranger(e cluster.Endpoint) cluster.Reason {
	return cluster.Reason{Code: "stranger",
		Text: fmt.Sprintf("%q is no member of this pair: refused", string(e))}
}

func reasonPhase(p cluster.Phase) cluster.Reason {
	return cluster.Reason{Code: "phase",
		Text: fmt.Sprintf("the phase %q is unknown to this agent: nothing is done", string(p))}
}

func reasonUnreachable(c cluster.Cause) cluster.Reason {
	return cluster.Reason{Code: CodeUnreachable,
		Text: fmt.Sprintf("the server does not answer: %s", c)}
}

func reasonPeerAlive(c cluster.Cause) cluster.Reason {
	return cluster.Reason{Code: "peer-alive",
		Text: fmt.Sprintf("the other server is alive and cannot be closed: %s", c)}
}

func reasonSource(e cluster.Endpoint) cluster.Reason {
	return cluster.Reason{Code: "source",
		Text: fmt.Sprintf("the channel's source %q is not the other member: it is left alone", string(e))}
}

func reasonSQLError(errno int, text string) cluster.Reason {
	return cluster.Reason{Code: "sql-error",
		Text: fmt.Sprintf("the applying thread stopped with error %d: %s", errno, text)}
}

func reasonRebuild(missing string) cluster.Reason {
	return cluster.Reason{Code: "rebuild",
		Text: fmt.Sprintf("the active no longer has the binary logs that the server needs: it must be rebuilt; missing: %s", missing)}
}

func reasonPositionRefused(text string) cluster.Reason {
	return cluster.Reason{Code: "position-refused",
		Text: fmt.Sprintf("the source refuses the position of the server (error %d: %s): mmmctl rejoin says whether another position will do or the server must be rebuilt; it is tried again later", errPosition, text)}
}

func reasonPositionOfActive(ch cluster.Channel) cluster.Reason {
	what := fmt.Sprintf("the passive refuses the position of the active (error %d: %s)", ch.IOErrno, ch.IOError)
	if ch.SQLErrno != 0 {
		what = fmt.Sprintf("the active receives again what it wrote itself (error %d: %s)", ch.SQLErrno, ch.SQLError)
	}
	return cluster.Reason{Code: "position-refused",
		Text: what + ": its position is set to what it has, and tried again later"}
}

func reasonErrant(set string) cluster.Reason {
	return cluster.Reason{Code: "errant",
		Text: fmt.Sprintf("it has transactions that the active lacks: %s", set)}
}

func reasonPosition(err error) cluster.Reason {
	return cluster.Reason{Code: "position",
		Text: fmt.Sprintf("a position cannot be compared: %v", err)}
}
