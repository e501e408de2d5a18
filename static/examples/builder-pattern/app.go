// Command app counts the links of a page: those that stay on its host and those that leave it.
//
//	app https://example.org/     a page from the web
//	app page.html                a file
//	url=https://example.org/ app the same, by the environment
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/net/html"
)

func main() {
	address := os.Getenv("url")
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	if address == "" {
		fail("which page? Give its address or a file: app https://example.org/")
	}
	page, err := open(address)
	if err != nil {
		fail(err.Error())
	}
	defer page.Close()
	internal, external, err := count(page, address)
	if err != nil {
		fail(err.Error())
	}
	fmt.Printf("{\"internal\":%d,\"external\":%d}\n", internal, external)
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, "app: "+message)
	os.Exit(1)
}

func isWeb(address string) bool {
	return strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "https://")
}

func open(address string) (io.ReadCloser, error) {
	if !isWeb(address) {
		return os.Open(address)
	}
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(address)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		answer.Body.Close()
		return nil, fmt.Errorf("%s answered %s", address, answer.Status)
	}
	return answer.Body, nil
}

// count reads tokens rather than a tree, so a page of any size takes no memory to speak of.
func count(page io.Reader, address string) (internal, external int, err error) {
	base, err := url.Parse(address)
	if err != nil {
		return 0, 0, err
	}
	tokens := html.NewTokenizer(page)
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			if tokens.Err() == io.EOF {
				return internal, external, nil
			}
			return internal, external, tokens.Err()
		case html.StartTagToken, html.SelfClosingTagToken:
			token := tokens.Token()
			if token.Data != "a" {
				continue
			}
			for _, attribute := range token.Attr {
				if attribute.Key != "href" {
					continue
				}
				target, err := base.Parse(attribute.Val)
				if err == nil && target.Host != base.Host {
					external++
				} else {
					internal++
				}
			}
		}
	}
}
