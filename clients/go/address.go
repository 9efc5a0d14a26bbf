package maestro

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// address says where the gateway is, and whether what is said to it stays on this machine.
type address struct {
	target string
	local  bool
	tls    bool
}

// parseAddress reads host:port, https://host, unix:/path, or any other target that gRPC knows.
func parseAddress(text string) (address, error) {
	if strings.HasPrefix(text, "unix:") || strings.HasPrefix(text, "unix-abstract:") {
		return address{target: text, local: true}, nil
	}
	scheme, _, found := strings.Cut(text, "://")
	if !found {
		text = "http://" + text
	} else if scheme != "http" && scheme != "https" {
		return address{target: text}, nil // gRPC's own, such as dns:///gateway
	}
	read, err := url.Parse(text)
	if err != nil || read.Hostname() == "" || strings.Trim(read.Path, "/") != "" || read.RawQuery != "" || read.User != nil {
		return address{}, errors.New("maestro: this is no address; write host:port, https://host:port or unix:/path")
	}
	secure := read.Scheme == "https"
	port := read.Port()
	if port == "" && secure {
		port = "443"
	} else if port == "" {
		port = "7070"
	}
	host, local := dialed(read.Hostname())
	return address{net.JoinHostPort(host, port), local, secure}, nil
}

// dialed is the host to dial, and whether it is this machine. A server's "any address" is reached over loopback.
func dialed(host string) (string, bool) {
	ip := net.ParseIP(host)
	if ip.Equal(net.IPv4zero) {
		return "127.0.0.1", true
	}
	if ip.Equal(net.IPv6unspecified) {
		return "::1", true
	}
	return host, host == "localhost" || ip.IsLoopback()
}

func defaultAddress() string {
	if text := os.Getenv("MAESTRO_ADDRESS"); text != "" {
		return text
	}
	return "127.0.0.1:7070"
}

// defaultKey never offers the key of this machine's own gateway to another machine.
func defaultKey(local bool) (string, error) {
	if key := strings.TrimSpace(os.Getenv("MAESTRO_KEY")); key != "" || !local {
		return key, nil
	}
	home := os.Getenv("MAESTRO_HOME")
	if home == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			return "", nil // nowhere to look; the gateway says what to do about it
		}
		home = filepath.Join(user, ".maestro")
	}
	text, err := os.ReadFile(filepath.Join(home, "key"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("maestro: cannot read the key: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// checkKey finds what no header can carry; the error never shows the key.
func checkKey(key string) error {
	if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return errors.New("maestro: the key holds characters that no header can carry; was it cut or joined?")
	}
	return nil
}

// bearer puts the key on every call. gRPC refuses it on a connection without TLS, unless that was asked for or is local.
type bearer struct {
	key   string
	plain bool
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.key}, nil
}

func (b bearer) RequireTransportSecurity() bool { return !b.plain }
