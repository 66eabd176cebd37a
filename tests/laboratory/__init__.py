"""Equipment that few runs need: images, benchmarks, a fuzzer, a real API server."""
