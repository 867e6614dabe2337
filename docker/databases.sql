-- Run once by psql, when the server's data are first made: each service has a user who owns its database and nothing else.
\set osler_password `cat /run/secrets/osler_database`
\set mlflow_password `cat /run/secrets/mlflow_database`
CREATE ROLE osler LOGIN PASSWORD :'osler_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE osler OWNER osler;
CREATE DATABASE mlflow OWNER mlflow;
REVOKE CONNECT ON DATABASE osler, mlflow FROM PUBLIC;
