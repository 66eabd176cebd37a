"""What tests run the service with: servers, gateways, handlers, clusters."""
