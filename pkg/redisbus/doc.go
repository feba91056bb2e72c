// Package redisbus is everything mmm-manager says to Redis: the predecessor's
// keys and channel message, the new records of a pair, the scripts that change
// them and the wake-ups that say "look now".
//
// It decides nothing. It keeps four promises:
//
//   - The assignment of a pair changes by one script only, which checks the
//     leader's token and the order in force before it writes anything, and
//     writes the record, the predecessor's keys, the event, the request and the
//     messages together or not at all. Types and permissions are checked first,
//     because Redis does not roll a script back.
//   - A leader's lease is extended only by the token under which it is held;
//     whoever takes it gets a token greater than all before.
//   - The active's grant is given in the epoch in force and to its active only;
//     it never touches the record and wakes nobody.
//   - A wake-up may be late or doubled, never lost: after each connect and
//     reconnect a Subscription says "resubscribed", upon which a reader reads
//     everything anew. Messages are hints, records are the truth.
//
// With sentinels every connection goes to the master that they name; one to
// another server is ended within a second or two of their naming it.
//
// No command is retried on its own: when the answer is lost, it is unknown
// whether the command was carried out, and the caller reads the record again.
//
// What others wrote into Redis is not trusted: a record that cannot be read is
// named with the way out, never guessed at and never overwritten by a change of
// the assignment. Redis Cluster is not supported, since the predecessor's keys
// carry no hash tag.
package redisbus
