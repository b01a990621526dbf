"""Players behind a server with OpenAI's interface: requests in flight, retries, limits, costs, stored replies."""
