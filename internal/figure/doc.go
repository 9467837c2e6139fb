// Package figure draws what experiments measured: lines and bars in colours that
// colour-blind people can tell apart, and in grey what the literature says.
package figure
