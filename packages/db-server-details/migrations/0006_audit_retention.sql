CREATE TABLE "audit_retention" (
	"category" text PRIMARY KEY NOT NULL,
	"days" integer NOT NULL
);
