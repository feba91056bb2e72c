package mysql

import (
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func bench(b *testing.B, run func(s *Server, app *Session)) {
	for _, f := range []cluster.Flavor{cluster.MariaDB, cluster.MySQL} {
		b.Run(string(f), func(b *testing.B) {
			s := server(f)
			s.Replicate("10.0.0.2:3306", time.Second)
			app, err := s.Login("app", false, nil)
			if err != nil {
				b.Fatal(err)
			}
			app.Write(now, 1, 0, func(Outcome) {})
			b.ReportAllocs()
			for b.Loop() {
				run(s, app)
			}
		})
	}
}

func BenchmarkObserve(b *testing.B) {
	bench(b, func(s *Server, _ *Session) { s.Observe(now, nil, "mmm.epoch", "u") })
}

func BenchmarkChannel(b *testing.B) { bench(b, func(s *Server, _ *Session) { s.Channel(now) }) }

func BenchmarkReadOnly(b *testing.B) { bench(b, func(s *Server, _ *Session) { s.ReadOnly() }) }

func BenchmarkWrite(b *testing.B) {
	row := uint64(0)
	bench(b, func(_ *Server, app *Session) {
		row++
		app.Write(now, row%4096, 0, func(Outcome) {})
	})
}

func BenchmarkObserveAfterAWrite(b *testing.B) {
	bench(b, func(s *Server, app *Session) {
		app.Write(now, 1, 0, func(Outcome) {})
		s.Observe(now, nil, "mmm.epoch", "u")
	})
}
