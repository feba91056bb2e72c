// Package config reads mmm.conf and mmm-agent.conf: INI in, plain structs out.
//
// It reports everything that is wrong at once, each fault with file, line,
// section, key and a hint. A bad tag never stops the others: it is left out and
// its faults say why. A key that is not known is a warning with the nearest name
// beside it. A key whose mechanism is not built yet is checked like any other and
// reported as not in force. A fault that only mail has stops nothing but mail: a
// warning for an agent, an error for a check of the file.
//
// It never prints a password: no fault quotes the value of a secret key, nor a
// line that it could not take apart. It connects to nothing and keeps no state;
// a reload is a second call.
package config
