package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// rootsModule is where the root certificates of the image are from.
const rootsModule = "golang.org/x/crypto/x509roots/fallback"

// sbom lists what is in the programs, by what the linker has written into them, and
// what the image has beside them.
func sbom(p *product, beside []cdx.Component) ([]byte, error) {
	product := module(p.Programs[0].Info.Main.Path, p.Version)
	product.Type = cdx.ComponentTypeApplication
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: p.Time.Format(time.RFC3339), Component: &product}

	var components []cdx.Component
	var parts []string // of the product
	var edges []cdx.Dependency
	add := func(c cdx.Component) string {
		if !slices.ContainsFunc(components, func(known cdx.Component) bool { return known.BOMRef == c.BOMRef }) {
			components = append(components, c)
		}
		return c.BOMRef
	}
	for _, program := range p.Programs {
		ref := add(cdx.Component{
			BOMRef: program.Name, Type: cdx.ComponentTypeApplication, Name: program.Name, Version: p.Version,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: fmt.Sprintf("%x", sha256.Sum256(program.Text))}},
		})
		parts = append(parts, ref)
		// Scanners know the standard library by this name.
		of := []string{add(module("stdlib", strings.TrimPrefix(program.Info.GoVersion, "go")))}
		for _, m := range program.Info.Deps {
			of = append(of, add(module(replaced(m))))
		}
		edges = append(edges, cdx.Dependency{Ref: ref, Dependencies: &of})
	}
	for _, c := range beside {
		parts = append(parts, add(c))
	}
	bom.Components = &components
	edges = append(edges, cdx.Dependency{Ref: product.BOMRef, Dependencies: &parts})
	bom.Dependencies = &edges

	var b bytes.Buffer
	err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
	return b.Bytes(), err
}

func replaced(m *debug.Module) (path, version string) {
	if m.Replace != nil {
		m = m.Replace
	}
	return m.Path, m.Version
}

// module is one of Go, under the name by which package URLs have it.
func module(path, version string) cdx.Component {
	url := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: url}
}
