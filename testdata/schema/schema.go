// Package schema holds the JSON Schemas of the contract, for programs that print
// them. It does not validate anything.
package schema

import "embed"

//go:embed *.json
var files embed.FS

// Of is the schema of "request" or "result", or an error that there is none.
func Of(name string) ([]byte, error) { return files.ReadFile(name + ".schema.json") }
