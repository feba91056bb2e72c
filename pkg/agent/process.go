package agent

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Process is the process of a server on this host.
type Process interface {
	// OnEnd has f called once no thread of the process runs any more; not after Close
	// has returned. f does not wait. OnEnd is called once.
	OnEnd(f func())
	// Close ends the use of the process, not the process.
	Close() error
}

// findEvery is how often a process is looked for that is not found.
const findEvery = time.Minute

var errEnded = errors.New("its process has ended")

// hostProcess is what a worker knows of its server's process, which is on this host. The
// zero value knows nothing.
type hostProcess struct {
	p     Process
	over  *outcome
	upAt  time.Duration // when the server was started, at the latest
	again time.Duration // not before this one that was not found is looked for
	ended int64         // what Report.EndedUptimeS says
	// stopped is what Report.Stopped says.
	stopped bool
	// folders are those of the server; full: as was found last, one of them is.
	folders  []string
	full     bool
	rooms    *rooms // nil while nobody looks
	roomNext time.Duration
}

func (h *hostProcess) drop() {
	if h.p != nil {
		_ = h.p.Close()
	}
	h.p, h.over, h.folders, h.full = nil, nil, nil, false
}

// rooms is a look at the folders of a server.
type rooms struct {
	over outcome
	full bool
}

// lookForRoom looks every second, beside the worker, whether the disks of the server are full: the disk of
// another machine may not answer. It decides nothing by itself: what the server needs most it may have laid by.
func (w *worker) lookForRoom(ctx context.Context) {
	h := &w.host
	room := w.p.a.o.Room
	if over := h.rooms != nil; over {
		if over, _ = h.rooms.over.is(); !over {
			return
		}
		h.full, h.rooms = h.rooms.full, nil
		if h.full {
			w.setNote(noteRoom, cluster.NoteDiskFull, "no room is left in "+strings.Join(h.folders, " or "))
		} else {
			w.clear(noteRoom)
		}
	}
	if room == nil || h.p == nil || w.links.work == nil || w.now() < h.roomNext {
		return
	}
	h.roomNext = w.p.nextRound()
	if h.folders == nil {
		cctx, cancel := w.call(ctx)
		defer cancel()
		folders, err := w.links.work.Folders(cctx)
		if err != nil {
			h.roomNext = w.now() + findEvery
			w.lost(err)
			return
		}
		h.folders = folders
	}
	found, folders := &rooms{}, h.folders
	h.rooms = found
	w.rt.Go(func() {
		for _, f := range folders {
			if some, err := room(f); err == nil && !some {
				found.full = true
			}
		}
		found.over.set(nil)
	})
}

// watchProcess looks for the process of srv, a full sample of now.
func (w *worker) watchProcess(srv cluster.Server, restarted bool) {
	find := w.p.a.o.Process
	h := &w.host
	if restarted {
		h.drop()
		h.again = 0
	}
	if find == nil || !w.acts || w.p.a.o.Local == nil || h.p != nil || w.now() < h.again {
		return
	}
	h.again = w.now() + findEvery
	p, err := find(w.self, time.Duration(srv.UptimeS)*time.Second)
	if text := textOf(err); text != w.unseen {
		w.unseen = text
		if err != nil {
			w.log.Info().Err(err).Msg("the end of the server's process will be known by its connections only")
		}
	}
	if err != nil {
		return
	}
	h.p, h.over, h.upAt = p, &outcome{}, w.now()-time.Duration(srv.UptimeS)*time.Second
	over := h.over
	p.OnEnd(func() {
		over.set(nil)
		w.wake.Set()
	})
}

// noticeProcess takes the end of the server's process: nothing more is to be had of its
// connections, which are open for a while yet.
func (w *worker) noticeProcess() {
	h := &w.host
	over, _ := h.over.is()
	if !over {
		return
	}
	uptime := w.uptime()
	h.drop()
	h.again = 0
	if h.ended == 0 { // else it was closed when it was being stopped, and is dead since
		h.ended = max(1, uptime)
	}
	w.log.Warn().Int64("uptime_s", h.ended).Msg("the server's process has ended")
	if w.links.work != nil {
		w.ended()
	}
	w.unanswered(cluster.CauseEnded, errEnded)
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
