package maestro

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnAddressSaysWhetherItIsThisMachine(t *testing.T) {
	for text, expected := range map[string]address{
		"127.0.0.1:7070":       {"127.0.0.1:7070", true, false},
		"localhost":            {"localhost:7070", true, false},
		"0.0.0.0:7070":         {"127.0.0.1:7070", true, false},
		"[::1]:7070":           {"[::1]:7070", true, false},
		"unix:/run/maestro":    {"unix:/run/maestro", true, false},
		"gateway.test:7070":    {"gateway.test:7070", false, false},
		"https://gateway.test": {"gateway.test:443", false, true},
		"dns:///gateway.test":  {"dns:///gateway.test", false, false},
	} {
		if read, err := parseAddress(text); err != nil || read != expected {
			t.Errorf("%s: %v, %v", text, read, err)
		}
	}
	for _, text := range []string{"", "https://user:secret@gateway.test", "gateway.test/path", "gateway.test:port"} {
		if read, err := parseAddress(text); err == nil {
			t.Errorf("%q was read as %v", text, read)
		}
	}
}

func TestNothingGoesToAnotherMachineInPlaintext(t *testing.T) {
	if _, err := New(WithAddress("gateway.test:7070"), WithKey("k")); err == nil {
		t.Error("a key would have been sent readable")
	}
	for _, options := range [][]Option{
		{WithAddress("https://gateway.test"), WithKey("k")},
		{WithAddress("gateway.test:7070"), WithKey("k"), Insecure()},
	} {
		client, err := New(options...)
		if err != nil {
			t.Fatal(err)
		}
		client.Close()
	}
}

func TestAKeyThatNoHeaderCanCarryIsRefusedUnshown(t *testing.T) {
	for _, key := range []string{"line\nbreak", "schlüssel"} {
		if _, err := New(WithKey(key)); err == nil || strings.Contains(err.Error(), key) {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestTheKeyFileIsForThisMachineAlone(t *testing.T) {
	home := t.TempDir()
	t.Setenv("MAESTRO_HOME", home)
	t.Setenv("MAESTRO_KEY", "")
	if key, err := defaultKey(true); key != "" || err != nil {
		t.Errorf("without a file there is no key: %q, %v", key, err)
	}
	if err := os.WriteFile(filepath.Join(home, "key"), []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if key, err := defaultKey(true); key != "from-file" || err != nil {
		t.Errorf("%q, %v", key, err)
	}
	if key, err := defaultKey(false); key != "" || err != nil {
		t.Errorf("another machine was offered %q, %v", key, err)
	}
}
