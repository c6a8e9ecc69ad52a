// The API page: Swagger UI over /openapi.json, asking nobody else (validatorUrl would).
SwaggerUIBundle({
  url: "/openapi.json",
  domNode: document.getElementById("api"),
  deepLinking: true,
  validatorUrl: null,
  tryItOutEnabled: true,
});
