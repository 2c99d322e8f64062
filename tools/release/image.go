package main

import (
	"bytes"
	"io"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// repository is where the image is found.
const repository = "ghcr.io/seed-a7c21902/andon"

// nobody is the user that the image runs as, and that owns the one place where it may
// keep files.
const nobody = 65532

// image is the one that the Dockerfile describes, made without a container engine:
// "docker load", "podman load" and "crane push" take it. That both are the same is
// checked in test/deploy.
func image(p *product, roots []byte) ([]byte, error) {
	var files []file
	for _, program := range p.Programs {
		files = append(files, file{name: program.Name, mode: 0o755, text: program.Text})
	}
	for _, folder := range []string{"etc", "etc/ssl", "etc/ssl/certs"} {
		files = append(files, file{name: folder, mode: 0o755})
	}
	files = append(files, file{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, text: roots})
	for _, folder := range []string{"var", "var/lib"} {
		files = append(files, file{name: folder, mode: 0o755})
	}
	files = append(files, file{name: "var/lib/andon", mode: 0o700, owner: nobody})

	var content bytes.Buffer
	if err := tarred(&content, files, p.Time); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "make release", Created: v1.Time{Time: p.Time}}})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.OS, config.Architecture, config.Created = p.OS, p.Arch, v1.Time{Time: p.Time}
	config.Config = v1.Config{
		User:       "65532:65532",
		Env:        []string{"PATH=/", "ANDON_STORE_DIR=/var/lib/andon"},
		Entrypoint: []string{"/worker"},
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.title":       "andon",
			"org.opencontainers.image.description": "Pauses bad rollouts on Tencent Cloud Auto Scaling",
			"org.opencontainers.image.source":      "https://github.com/seed-a7c21902/andon",
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.version":     p.Version,
			"org.opencontainers.image.revision":    p.Hash,
			"org.opencontainers.image.created":     p.Time.Format(time.RFC3339),
		},
	}
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, err
	}
	// What Go writes as v1.2.3+dirty is no tag.
	tag, err := name.NewTag(repository + ":" + strings.ReplaceAll(p.Version, "+", "-"))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = tarball.Write(tag, img, &b)
	return b.Bytes(), err
}
