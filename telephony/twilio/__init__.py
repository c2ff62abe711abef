"""Media streams over a WebSocket: Twilio's, and Telnyx' and Plivo's, whose frames differ by names."""
