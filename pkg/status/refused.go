package status

import "errors"

// answered is an error that knows what the bus answered.
type answered interface {
	error
	Plain() string
	Answer() string
	WayOut() string
}

// failureOf puts an error of the bus in words; hint is for one that knows no way out.
func failureOf(code string, err error, hint string) *Failure {
	f := &Failure{Code: code, Message: plain(err.Error()), Hint: hint}
	if a, is := errors.AsType[answered](err); is {
		f.Answer = a.Answer()
		if way := a.WayOut(); way != "" {
			f.Message, f.Hint = plain(a.Plain()), plain(way)
		}
	}
	return f
}

// refusedOf is why the bus takes no writes, nil where it does, or where that cannot
// be told: a user who may only read learns nothing of what the daemons may.
func refusedOf(err error, hint string) *Failure {
	if err == nil {
		return nil
	}
	f := failureOf(CodeBusRefuses, err, hint)
	if f.Answer == "NOPERM" {
		return nil
	}
	return f
}

// refusal says that the records are not kept up to date. What their age seems to
// say of the daemons is not concluded then.
func (f *findings) refusal() {
	if r := f.t.refused; r != nil {
		f.problem(Degraded, CodeBusRefuses, "%s; what follows is from before, and no role moves until the bus takes writes", r)
	}
}
