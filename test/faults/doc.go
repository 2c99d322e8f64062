// Package faults proves, from outside, what andon promises when something
// breaks: that a confirmed request is neither lost nor answered twice nor told
// wrong, and that no second holds more calls than the quota. It has nothing but
// tests. Workers, the nodes of the broker and what breaks them are real; between
// them are connections that can be bad; the simulated API is the truth that
// results are compared with.
//
// Each test is one class of faults and one row of the table that is printed at
// the end; its name begins with that of the row. The suite is small unless
// FAULTS is "full", and repeats what chance chose when FAULTS_SEED is what it
// printed.
package faults
