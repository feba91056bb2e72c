// Command mutants shows that the laboratory finds what it is there to find. It builds
// the programs anew for each safeguard that has a script in testdata, with that one left out, and has the
// laboratory run the script on real servers until its checkers find something. A mutant
// that survives tells of a fault that the script does not make, or of a checker that is blind.
//
// The programs that leave nothing out must keep the same rounds of the script, in one pair of three: a busy
// machine may have any pair be well too late. Scripts begin with the laboratory's
// arguments for them: "# mode=async rounds=2 db=mysql".
package main
