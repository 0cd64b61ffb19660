-- Prefect's database, beside ours; run once, when the server's volume is new.
CREATE DATABASE prefect;
