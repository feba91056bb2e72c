// Package notify tells people by mail what happened to a pair: each change of
// role once, each server that takes another's place behind its address, and each
// condition that a person should end; of a hold each other reason for which it goes
// on, too.
//
// It reads the audit trail and the pair's records and decides nothing about
// roles. However many agents run, one mail goes out for one thing: the agent that
// claims it in Redis sends it and records that it was told; a claim ends after a
// minute, so that another agent sends when the claiming one dies. An agent that
// dies between the mail server's "accepted" and the record is the only way to
// get a mail twice, and then both have the same Message-ID.
//
// A mail that cannot be sent is tried again for an hour, by whichever agent can;
// what waits is bounded. An agent that starts tells nothing older than a few
// minutes, unless another agent has tried and not succeeded.
//
// Everything here runs apart from the agent's work on servers, on its own calls
// with their own deadlines: a mail server that hangs delays mails, nothing else.
package notify
