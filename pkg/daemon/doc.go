// Package daemon is what the programs of mmm-manager have in common around
// their service: flags, log, signals, the service manager, version and exit codes.
//
// It decides nothing about servers and knows no configuration file. It never
// ends the process: Main returns the exit code, and only a main function hands
// it to the system.
package daemon
