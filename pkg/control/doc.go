// Package control is the operator's hand: it carries out mmmctl's verbs over
// the bus. It never moves a role, and touches no server but for a rejoin, which takes back what a
// closed server in quarantine has and the active lacks: a switchover,
// a failover against the rules and an acknowledgement are requests that the leading
// identify carries out and answers, a pause is a record that identify obeys. What comes out is told in identify's own words.
//
// Every error that an operator must tell apart is an *Error with the exit code
// of the program: 1 failed or rolled back, 2 usage, 5 refused by a safety rule,
// 6 outcome unknown, 7 no such tag or node, 69 bus or server unreachable.
//
// Invariant: nothing is filed unless an identify leads at that moment. A request
// that is nevertheless not taken expires on the bus.
package control
