"""The five levels of the drill-down: days, hours of a day, users of an hour, requests of a user, one trace."""
