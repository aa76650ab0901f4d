// Package ours does the measured work by errand, with its defaults.
package ours
