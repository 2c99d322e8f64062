package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/seed-a7c21902/andon/test/harness"
)

// The manual pages and completions below docs are made of the commands; "make docs"
// writes them.
func TestManualPagesAndCompletionsAreThoseOfTheCommands(t *testing.T) {
	t.Parallel()
	files := make(map[string]string)
	manual(t, tree(), files)
	for name, write := range map[string]func(io.Writer) error{
		"andon.bash": func(w io.Writer) error { return tree().GenBashCompletionV2(w, true) },
		"_andon":     tree().GenZshCompletion,
		"andon.fish": func(w io.Writer) error { return tree().GenFishCompletion(w, true) },
		"andon.ps1":  tree().GenPowerShellCompletionWithDesc,
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		files[filepath.Join("completion", name)] = b.String()
	}
	for file, text := range files {
		harness.Golden(t, filepath.Join("../../docs", file), text)
	}
	for _, dir := range []string{"man", "completion"} {
		there, err := os.ReadDir(filepath.Join("../../docs", dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range there {
			if _, ok := files[filepath.Join(dir, f.Name())]; !ok {
				t.Errorf("docs/%s/%s is of no command; remove it", dir, f.Name())
			}
		}
	}
}

// tree is all commands, as somebody has them who has set nothing.
func tree() *cobra.Command {
	root := newRoot(&session{getenv: func(string) string { return "" }, in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	root.DisableAutoGenTag = true
	return root
}

// manual makes the pages of a command and those below it.
func manual(t *testing.T, c *cobra.Command, files map[string]string) {
	t.Helper()
	c.DisableAutoGenTag = true
	var b bytes.Buffer
	if err := doc.GenMan(c, &doc.GenManHeader{Title: strings.ToUpper(strings.ReplaceAll(c.CommandPath(), " ", "-")), Section: "1", Source: "andon", Manual: "andon", Date: &time.Time{}}, &b); err != nil {
		t.Fatal(err)
	}
	// A date would be that of the making, not of the text.
	files[filepath.Join("man", strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")] = strings.ReplaceAll(b.String(), `"Jan 0001"`, `""`)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			manual(t, sub, files)
		}
	}
}
