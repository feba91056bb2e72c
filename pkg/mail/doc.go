// Package mail sends one message to its receivers: by SMTP when a mail server
// is configured, else by the machine's own sendmail, else by mailx.
//
// It decides nothing about what is worth a mail and tries nothing twice. It
// promises:
//
//   - Every call ends by its context's deadline, whatever the other side does: a
//     server that is silent or babbles, a program that never ends (its whole
//     process group is killed).
//   - One refused receiver does not take the mail from the others; the Result
//     says who has it, who is worth another try and who was refused for good.
//   - Nothing that stands in a name, a tag, a reason or a position becomes a
//     header, an argument or a command; host names are reduced to what HELO and
//     an address may hold.
//   - No password appears in an error. It is sent in the clear only when
//     email_tls is off.
package mail
