package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"io"
	"path"
	"slices"
	"time"
)

// file is one in an archive or in the image; a folder where text is nil. It is
// root's, unless it has an owner.
type file struct {
	name  string
	mode  int64
	owner int
	text  []byte
}

// archive is what somebody unpacks: one folder, in it the programs below bin, where
// the README looks for them.
func archive(p *product, docs []file) []file {
	files := slices.Clone(docs)
	for _, program := range p.Programs {
		files = append(files, file{name: path.Join("bin", program.Name), mode: 0o755, text: program.Text})
	}
	for i := range files {
		files[i].name = path.Join(p.name(""), files[i].name)
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	return files
}

func tarGz(files []file, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if err := tarred(z, files, at); err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}

func tarred(to io.Writer, files []file, at time.Time) error {
	w := tar.NewWriter(to)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.text)), ModTime: at, Uid: f.owner, Gid: f.owner, Format: tar.FormatPAX}
		if f.text == nil {
			h.Typeflag, h.Name = tar.TypeDir, f.name+"/"
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(f.text); err != nil {
			return err
		}
	}
	return w.Close()
}

func zipped(files []file, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: at})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(f.text); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}
