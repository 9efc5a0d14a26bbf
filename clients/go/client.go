// Package maestro talks to a Maestro gateway: one channel with the right settings, errors with their reasons, and the fold
// of an answer's events. The messages are those of maestro.example/go/maestro/v1.
package maestro

import (
	"crypto/tls"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	maestrov1 "maestro.example/go/maestro/v1"
)

const maxMessageBytes = 64 << 20

// retries: UNAVAILABLE alone, and only until the first message has come. The gateway says by pushback when even that must
// not be sent again.
const retries = `{"methodConfig": [{"name": [{}], "retryPolicy": {
	"maxAttempts": 3, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 2,
	"retryableStatusCodes": ["UNAVAILABLE"]}}]}`

// Client is one channel to a gateway, safe for use by many goroutines. Each error of its stubs is an *Error.
type Client struct {
	Chat       maestrov1.ChatServiceClient
	Capability maestrov1.CapabilityServiceClient

	channel *grpc.ClientConn
}

// Option changes where New goes, or how.
type Option func(*settings)

type settings struct {
	address  string
	key      string
	tls      *tls.Config
	insecure bool
	more     []grpc.DialOption
}

// WithAddress names the gateway, as host:port, https://host:port or unix:/path, instead of $MAESTRO_ADDRESS.
func WithAddress(address string) Option {
	return func(s *settings) { s.address = address }
}

// WithKey gives the key instead of $MAESTRO_KEY or the key file.
func WithKey(key string) Option {
	return func(s *settings) { s.key = key }
}

// WithTLS turns TLS on, with these roots or this client certificate; https:// in the address uses the system's roots.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) { s.tls = config }
}

// Insecure sends key and prompts to another machine readable by all in between.
func Insecure() Option {
	return func(s *settings) { s.insecure = true }
}

// WithDialOptions adds to the channel's settings, for example a tracing handler.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.more = append(s.more, options...) }
}

// New makes a client of the gateway at $MAESTRO_ADDRESS (else 127.0.0.1:7070) with the key $MAESTRO_KEY (else, for a
// gateway on this machine, that of the file key in $MAESTRO_HOME or ~/.maestro). It connects at the first call. Nothing
// goes to another machine in plaintext, unless Insecure says so.
func New(options ...Option) (*Client, error) {
	chosen := settings{address: defaultAddress()}
	for _, option := range options {
		option(&chosen)
	}
	where, err := parseAddress(chosen.address)
	if err != nil {
		return nil, err
	}
	if where.tls && chosen.tls == nil {
		chosen.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if chosen.tls == nil && !where.local && !chosen.insecure {
		return nil, fmt.Errorf("maestro: %s is another machine, and nothing says how to encrypt what is sent there: "+
			"write https:// before it, or use WithTLS; Insecure() sends key and prompts readable", where.target)
	}
	if chosen.key == "" {
		if chosen.key, err = defaultKey(where.local); err != nil {
			return nil, err
		}
	}
	if err := checkKey(chosen.key); err != nil {
		return nil, err
	}
	channel, err := grpc.NewClient(where.target, chosen.dialOptions()...)
	if err != nil {
		return nil, err
	}
	return &Client{
		Chat:       maestrov1.NewChatServiceClient(channel),
		Capability: maestrov1.NewCapabilityServiceClient(channel),
		channel:    channel,
	}, nil
}

func (s *settings) dialOptions() []grpc.DialOption {
	transport := insecure.NewCredentials()
	if s.tls != nil {
		transport = credentials.NewTLS(s.tls)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(retries),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallSendMsgSize(maxMessageBytes),
			grpc.MaxCallRecvMsgSize(maxMessageBytes),
			grpc.MaxRetryRPCBufferSize(maxMessageBytes), // else a request above 256 KiB would not be tried again
		),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 30 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true,
		}),
		grpc.WithChainUnaryInterceptor(typedUnary),
		grpc.WithChainStreamInterceptor(typedStream),
	}
	if s.key != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer{key: s.key, plain: s.tls == nil}))
	}
	return append(options, s.more...)
}

// Channel is for stubs that this client does not carry, such as health.
func (c *Client) Channel() grpc.ClientConnInterface { return c.channel }

// Close ends every call and the connection.
func (c *Client) Close() error { return c.channel.Close() }
