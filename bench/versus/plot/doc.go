// Command plot draws what bench measured, as PNG and SVG, for each directory or JSON file that
// it is given. In a directory it draws the results that have no plots yet.
//
// It is a command of its own because the memory of the libraries that draw would count as
// that of everybody who is measured.
package main
