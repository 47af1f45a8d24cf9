"""What every connector is built with: strict decoding, signatures, the HTTP client, manifests; no vendor's words."""
