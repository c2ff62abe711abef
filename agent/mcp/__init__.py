"""Tools from MCP servers (Model Context Protocol): Streamable HTTP and stdio."""
