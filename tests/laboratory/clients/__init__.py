"""Clients that others' generators make of our OpenAPI document, compiled and taken through a tour of a live service."""
